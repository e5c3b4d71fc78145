"""Where each row of the table of bad inputs is tested that has no two instances here, and which rows are not tested."""

from __future__ import annotations

from typing import Final

ROWS: Final = ()
NUMBERS: Final = range(1, 96)
ELSEWHERE: Final[dict[int, tuple[str, ...]]] = {
    22: ("io/test_dicom_volumes.py::test_planes_of_a_survey_are_volumes_of_their_own",),
    29: ("io/test_dicom_values.py",),
    33: ("io/test_links.py", "io/test_unpacking.py"),
    35: ("test_privacy.py",),
    49: ("io/test_video_frames.py",),
    53: ("io/test_damaged_frames.py", "verbs/test_outcome.py::test_what_was_followed_before_something_failed_is_kept"),
    60: ("cli/test_cli.py::test_what_is_wrong_is_said_with_exit_code_2", "cli/test_guard.py"),
    65: ("core/test_odd_prompts.py", "core/test_join.py::test_many_clicks_on_one_frame_are_replayed_in_proportion"),
    66: ("checkpoints/test_reading.py::test_a_pickled_object_is_refused_with_the_way_out",
         "checkpoints/test_torch_archive.py::test_more_than_arrays_is_refused"),
    67: ("checkpoints/test_reading.py::test_damaged_files_are_named",
         "checkpoints/test_store.py::test_another_file_than_the_published_one_is_not_kept"),
    68: ("checkpoints/test_reading.py::test_unknown_layouts_are_refused_by_name",
         "checkpoints/test_reading.py::test_a_shared_layout_asks_which_system_it_is"),
    69: ("checkpoints/test_reading.py::test_every_missing_unknown_or_misshaped_array_is_counted",
         "checkpoints/test_odd_arrays.py::test_arrays_that_are_not_plain"),
    70: ("checkpoints/test_store.py::test_an_interrupted_fetch_goes_on_where_it_stopped",
         "checkpoints/test_store.py::test_a_server_that_is_not_there",
         "checkpoints/test_store.py::test_a_partial_file_of_something_else_is_not_believed"),
    71: ("checkpoints/test_store.py::test_fetches_at_once_fetch_once",
         "checkpoints/test_store.py::test_a_store_of_another_user_can_be_read_only"),
    72: ("io/test_outputs.py::test_a_full_disk_is_told_and_nothing_is_left",
         "checkpoints/test_store.py::test_a_full_disk_loses_and_leaves_nothing"),
    73: ("io/test_outputs.py::test_what_stops_the_renames_loses_nothing",
         "checkpoints/test_store.py::test_what_a_process_that_died_left_is_removed"),
    74: ("io/test_outputs.py::test_what_others_wrote_is_never_replaced",
         "cli/test_cli.py::test_an_existing_output_is_kept_unless_told_otherwise"),
    75: ("io/test_outputs.py::test_places_that_are_none_are_refused",
         "io/test_outputs.py::test_what_is_no_file_is_told_before_the_work"),
    77: ("compute/test_device.py",),
    78: ("compute/test_threads.py::test_the_share_a_container_grants_counts",),
    79: ("quill/test_training_batch.py::test_a_worker_that_dies_is_told_within_seconds",),
    80: ("cli/test_cli.py::test_interrupting_stops_cleanly", "cli/test_guard.py::test_every_end_has_its_exit_code"),
    81: ("server/test_live.py::test_another_persons_click_waits_for_one_frame",),  # on a CPU
    82: ("server/test_nninteractive.py::test_a_place_that_was_left_has_expired",),
    83: ("server/test_api.py::test_a_stale_revision_is_refused_and_changes_nothing",),
    84: ("server/test_api.py::test_sessions_come_back_after_a_restart",
         "server/test_serve.py::test_a_session_survives_kill"),
    85: ("server/test_guard.py::test_too_much_is_refused_and_not_kept",
         "server/test_api.py::test_wrong_requests_are_problems_with_a_code"),
    86: ("server/test_guard.py::test_another_origin_is_refused", "server/test_guard.py::test_another_host_is_refused"),
    87: ("server/test_guard.py::test_nothing_is_answered_without_the_token",
         "server/test_nninteractive.py::test_the_wrong_key_is_refused"),
    90: ("session/test_session.py", "session/test_whole_scans.py::test_a_locked_object_keeps_its_voxels"),
    91: ("data/test_damaged.py", "data/test_contents.py"),
    92: ("training/test_loop.py::test_it_stops_at_a_loss_that_is_no_number_and_keeps_the_last_good_state",),
    93: ("training/test_loop.py::test_another_run_in_the_folder_is_refused",
         "checkpoints/test_odd_arrays.py::test_states_of_other_runs"),
    94: ("data/test_label_places.py", "evaluation/test_metrics.py"),
    95: ("io/test_surroundings.py",),
}  # fmt: skip
NOT_HERE: Final[dict[int, str]] = {
    76: "memory of a GPU: no test runs on one",
    88: "one version of the server so far",
    89: "3D Slicer is not part of the tests",
}
