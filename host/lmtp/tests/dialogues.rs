//! Replays `tests/dialogues/*.txt`, each turn by turn, whole, octet by octet, at
//! every split in two and with the smallest output buffer: the very same octets must
//! come out each time, and the very same message be handed on. How a dialogue is
//! written: `dialogues/README.md`. Each is a test of its own, by its file's name.

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
    assert!(files.len() >= 40, "only {} dialogues", files.len());
    let mut trials: Vec<Trial> = files.into_iter().map(trial).collect();
    trials.push(Trial::test("a_wrong_delivery_fails", || {
        a_wrong_delivery_fails();
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
    script.expect_same(&whole, |cut| Replay::new(&dialogue).run(cut))?;
    // Each reply would be written by itself.
    let small = Replay::with_small_output(&dialogue).run(Cut::Whole);
    if small != whole {
        return Err(format!(
            "with the smallest output buffer:\n{small}\nbut whole:\n{whole}"
        ));
    }
    Ok(())
}

/// The harness itself: a dialogue that is wrong must fail.
fn a_wrong_delivery_fails() {
    let right = "about: x\ntold: mail <>\ntold: recipient a@x\ntold: message 1 lines dots: .b\\r\\n\nends: quit\n\n\
                 S: 220 mx.example.com …\nC: LHLO c\nS: 250-mx.example.com\nS: 250-PIPELINING\nS: 250-SIZE 67108864\n\
                 S: 250-8BITMIME\nS: 250-DSN\nS: 250-SMTPUTF8\nS: 250-CHUNKING\nS: 250-BINARYMIME\n\
                 S: 250 ENHANCEDSTATUSCODES\nC: MAIL FROM:<>\nS: 250 2.1.0 …\nC: RCPT TO:<a@x>\nS: 250 2.1.5 …\n\
                 C: DATA\nS: 354 …\nC: ..b\nC: .\nS: 250 2.1.5 …\nC: QUIT\nS: 221 2.0.0 …\n";
    assert_eq!(check(right), Ok(()));
    for (from, to) in [
        ("told: mail <>\n", ""),
        ("recipient a@x", "recipient b@x"),
        (".b\\r", "..b\\r"),
        ("lines dots", "lines"),
        ("ends: quit", "ends: open"),
        ("S: 354 …\n", ""),
        ("S: 354 …", "S: 250 …"),
        ("C: .\nS: 250 2.1.5 …\n", "C: .\n"),
        (
            "C: .\nS: 250 2.1.5 …\n",
            "C: .\nS: 250 2.1.5 …\nS: 250 2.1.5 …\n",
        ),
        ("C: .\nS: 250 2.1.5 …\n", "C: .\nS: 550 5.1.1 …\n"),
        ("S: 250-DSN\n", ""),
    ] {
        let wrong = right.replacen(from, to, 1);
        assert_ne!(wrong, right);
        assert!(check(&wrong).is_err(), "{to:?} for {from:?} went unnoticed");
    }
}
