/** Files that were dropped: a folder is all that lies in it. */

const entryFile = (entry: FileSystemFileEntry): Promise<File> =>
  new Promise((done, failed) => entry.file(done, failed));

async function inside(folder: FileSystemDirectoryEntry): Promise<File[]> {
  const reader = folder.createReader();
  const files: File[] = [];
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((done, failed) => reader.readEntries(done, failed)); // 100 at most
    if (!some.length) return files;
    for (const entry of some) files.push(...(await all(entry)));
  }
}

async function all(entry: FileSystemEntry): Promise<File[]> {
  if (entry.name.startsWith(".")) return [];
  return entry.isDirectory
    ? inside(entry as FileSystemDirectoryEntry)
    : [await entryFile(entry as FileSystemFileEntry)];
}

export async function filesOf(given: DataTransfer): Promise<File[]> {
  const entries = [...given.items].map((item) => item.webkitGetAsEntry()).filter((entry) => entry !== null);
  const found = (await Promise.all(entries.map(all))).flat();
  return found.length ? found : [...given.files];
}
