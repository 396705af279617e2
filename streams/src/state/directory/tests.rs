//! One process, one thread a task, folders that stay or go.

use super::*;

fn open(folder: &Path) -> Result<StateDirectory, StateError> {
    StateDirectory::open(Disk::Real, folder, "app")
}

fn task(subtopology: usize, partition: i32) -> TaskId {
    TaskId { subtopology, partition }
}

#[test]
fn one_process_with_one_id() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = open(folder.path()).expect("a directory");
    assert!(matches!(open(folder.path()), Err(StateError::Locked { path }) if path.ends_with("app")));
    assert!(StateDirectory::open(Disk::Real, folder.path(), "other").is_ok(), "beside it");
    let process = first.process();
    let held = first.take(task(0, 0)).expect("a folder");
    drop(first);
    assert!(open(folder.path()).is_err(), "a thread still has a task");
    drop(held);
    assert_eq!(open(folder.path()).expect("a directory").process(), process);
}

#[test]
fn one_thread_a_task() {
    let folder = tempfile::tempdir().expect("a folder");
    let directory = open(folder.path()).expect("a directory");
    let held = directory.take(task(1, 12)).expect("a folder");
    assert!(held.database().ends_with("app/1_12/rocksdb") && !held.has_database());
    assert!(matches!(directory.take(task(1, 12)), Err(StateError::Locked { .. })));
    std::fs::create_dir_all(held.database()).expect("a folder");
    std::fs::write(held.database().join("CURRENT"), "x").expect("a file");
    assert!(held.has_database());
    assert_eq!(directory.tasks().expect("tasks"), [task(1, 12)]);
    held.wipe().expect("wipe");
    assert!(!held.has_database());
    drop(held);
    assert_eq!(directory.take(task(1, 12)).expect("a folder").task(), task(1, 12));
    assert_eq!(directory.tasks().expect("tasks"), []);
}

#[test]
fn what_nobody_uses_is_deleted_after_its_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let directory = open(folder.path()).expect("a directory");
    let held = directory.take(task(0, 0)).expect("a folder");
    drop(directory.take(task(0, 1)).expect("a folder"));
    std::fs::create_dir(directory.path().join("no_task")).expect("a folder");
    let left =
        std::fs::metadata(directory.path().join("0_1").join(LEFT_FILE)).expect("a file").modified().expect("a time");
    let left = left.duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_millis() as i64;
    assert_eq!(directory.clean_up(left + 1_000, 1_000).expect("clean up"), [], "just not long enough");
    assert_eq!(directory.clean_up(left + 1_002, 1_000).expect("clean up"), [task(0, 1)]);
    assert_eq!(directory.clean_up(i64::MAX, 0).expect("clean up"), [], "a thread has it");
    let global = directory.global().expect("a folder");
    drop(held);
    directory.delete_all().expect("delete");
    let mut names: Vec<String> = std::fs::read_dir(directory.path())
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert_eq!(names, [LOCK_FILE, PROCESS_FILE, "no_task"]);
    assert!(!global.exists());
}

#[test]
fn directories_of_others_are_refused() {
    for (text, expected) in [
        (r#"{"processId":"01234567-89ab-cdef-8edc-ba9876543210"}"#, "is not Millstream's"),
        (r#"{"format":2,"application":"app"}"#, "is of format 2; this version knows 1"),
        (r#"{"format":1,"application":"other"}"#, "belongs to application \"other\", not to \"app\""),
        (r#"{"format":1,"application":"app","processId":"x"}"#, "has no processId"),
        ("x", "is no JSON"),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("app");
        std::fs::create_dir(&path).expect("a folder");
        std::fs::write(path.join(PROCESS_FILE), text).expect("a file");
        let error = open(folder.path()).err().expect(text);
        assert!(matches!(&error, StateError::Foreign { .. }) && error.to_string().contains(expected), "{error}");
        assert_eq!(std::fs::read_to_string(path.join(PROCESS_FILE)).expect("a file"), text, "it is left as it is");
    }
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir_all(folder.path().join("app/0_0/rocksdb/counts")).expect("a folder");
    let error = open(folder.path()).err().expect("nobody's folder");
    assert!(error.to_string().contains("0_0"), "{error}");
}

#[test]
fn folders_of_tasks_are_told_by_their_names() {
    assert_eq!(task_of("3_14"), Some(task(3, 14)));
    for name in ["3", "3_", "_1", "a_1", "1_+1", "-1_1", "__named__", "1_2_3", "99999999999999999999_1"] {
        assert_eq!(task_of(name), None, "{name}");
    }
}
