//! SQLite files, made and changed by another program.

use std::path::Path;
use std::process::Command;

use crate::run_to_end;

/// Runs statements on a file, which is made if it is not there.
pub fn sqlite(file: &Path, sql: &str) {
    let program = "import sqlite3, sys; file = sqlite3.connect(sys.argv[1]); \
                   file.executescript(sys.argv[2]); file.commit()";
    let mut python = Command::new("python3");
    let made = run_to_end(python.args(["-c", program]).arg(file).arg(sql));
    assert_eq!(made.code, Some(0), "{made:?}");
}
