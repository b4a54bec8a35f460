//! Replays `tests/dialogues/*.txt`, each turn by turn, whole, octet by octet, at
//! every split in two and with the smallest output buffer: the very same octets
//! must come out each time. How a dialogue is written: `dialogues/README.md`.
//! Each is a test of its own, by its file's name: `cargo test NAME` takes it.

mod either;
mod replay;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use replay::{Dialogue, Replay};
use restante_lines::dialogue::{self, Cut};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialogues");
    let files = dialogue::files(&folder);
    assert!(files.len() >= 130, "only {} dialogues", files.len());

    let mut trials: Vec<Trial> = files.into_iter().map(trial).collect();
    trials.push(Trial::test("a_wrong_dialogue_fails", || {
        a_wrong_dialogue_fails();
        Ok(())
    }));
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(path: PathBuf) -> Trial {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Trial::test(name.into_owned(), move || {
        let text = fs::read_to_string(&path).map_err(|error| error.to_string())?;
        Ok(check(&text)?)
    })
}

fn check(text: &str) -> Result<(), String> {
    let dialogue = Dialogue::parse(text)?;
    let script = &dialogue.script;
    let whole = Replay::new(&dialogue).run(Cut::Whole);
    script.expect_output(&whole.wire)?;
    dialogue.expect_ending(&whole)?;
    script.expect_turns(&mut Replay::new(&dialogue))?;

    let small = Replay::new(&dialogue).with_output_bytes(0).run(Cut::Whole);
    if small != whole {
        return Err(format!(
            "with the smallest output buffer:\n{small}\nbut whole:\n{whole}"
        ));
    }
    script.expect_same(&whole, |cut| Replay::new(&dialogue).run(cut))
}

/// The harness itself: a dialogue that is wrong must fail.
fn a_wrong_dialogue_fails() {
    let right = "about: x\nmail: id1 6 a\\nb\\n\nremoves: 1\nends: quit\n\nS: +OK …\nC: USER mrose\nS: +OK …\n\
                 C: PASS secret\nS: +OK …\nC: RETR 1\nS: +OK …\nS: a\nS: b\nS: .\nC: DELE 1\nS: +OK …\nC: QUIT\nS: +OK …\n";
    assert_eq!(check(right), Ok(()));
    for (from, to) in [
        ("S: a\n", "S: x\n"),
        ("S: a\n", ""),
        ("S: .\n", "S: .\nS: .\n"),
        ("mail: id1 6", "mail: id1 5"),
        ("removes: 1", "removes: nothing"),
        ("removes: 1\n", ""),
        ("ends: quit", "ends: open"),
        ("about: x\n", "about: x\ncauses: wrong SCRAM proof\n"),
        ("C: PASS secret", "C: PASS wrong"),
        (
            "S: +OK …\nC: RETR 1\nS: +OK …",
            "C: RETR 1\nS: +OK …\nS: +OK …",
        ),
        ("C: DELE 1\nS: +OK …", "C: DELE 1\nS: -ERR …"),
        ("C: DELE 1\nS: +OK …", "C: DELE 1\nS: +OK [X] …"),
        ("C: DELE 1\nS: +OK …", "C: DELE 1\nS: +OK"),
    ] {
        let wrong = right.replacen(from, to, 1);
        assert_ne!(wrong, right);
        assert!(check(&wrong).is_err(), "{to:?} for {from:?} went unnoticed");
    }
}
