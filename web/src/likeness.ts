/** A structure that was outlined on another scan, looked for on the frame that is shown. */

import { exampleOf, keptSessions } from "./api";
import { byId, made } from "./dom";
import type { Page } from "./page";
import type { KeptSession } from "./types";

export async function askForExample(page: Page): Promise<void> {
  const dialog = byId<HTMLDialogElement>("like");
  const list = byId("like-list");
  const close = () => dialog.close();
  byId("like-close").onclick = close;
  const find = async (session: KeptSession, object: string) => {
    close();
    page.tell(`Looking for ${object} as in ${session.name} …`);
    try {
      const example = await exampleOf(session.id, object);
      page.deeds.act({ event: "prompt", object, prompt: { ...example, frame: page.frame } });
    } catch (error) {
      page.fail(error);
    }
  };
  try {
    const kept = await keptSessions();
    const rows = kept.flatMap((session) =>
      session.structures.map((object) =>
        made(
          "li",
          {},
          made(
            "button",
            { onclick: () => void find(session, object) },
            made("strong", { textContent: object }),
            made("span", { className: "quiet name", textContent: session.name }),
          ),
        ),
      ),
    );
    list.replaceChildren(...rows);
    byId("like-none").hidden = rows.length > 0;
    dialog.showModal();
  } catch (error) {
    page.fail(error);
  }
}
