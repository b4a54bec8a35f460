//! The fields of a line in text, each cut to a length of its own: one that is long does not
//! take the place of those after it, the session and the tenant among them. Lines in JSON
//! are cut likewise, where they leave.

use std::fmt::{self, Debug, Write};

use tracing::field::Field;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{Writer, debug_fn};

/// Bytes of a field's value.
const MAX_FIELD_BYTES: usize = 1 << 10;

/// Bytes of the message, which may be of several lines: the problems of a configuration.
const MAX_MESSAGE_BYTES: usize = 4 << 10;

/// Formats the fields of a line and of its spans.
pub(crate) fn fields() -> impl for<'w> FormatFields<'w> + Send + Sync + 'static {
    debug_fn(field).delimited(" ")
}

fn field(out: &mut Writer<'_>, field: &Field, value: &dyn Debug) -> fmt::Result {
    match field.name() {
        "message" => cut(out, MAX_MESSAGE_BYTES, value, true),
        name => {
            let name = name.strip_prefix("r#").unwrap_or(name);
            if out.has_ansi_escapes() {
                // Italic, and dimmed.
                write!(out, "\x1b[3m{name}\x1b[0m\x1b[2m=\x1b[0m")?;
            } else {
                write!(out, "{name}=")?;
            }
            cut(out, MAX_FIELD_BYTES, value, false)
        }
    }
}

/// The start of a value, and how much of it is missing. `has_lines`: it may be of several
/// lines; of a field that would forge lines of the log, since names of files and words of
/// clients stand in some.
fn cut(out: &mut dyn Write, bytes: usize, value: &dyn Debug, has_lines: bool) -> fmt::Result {
    let mut start = Start {
        out,
        left: bytes,
        missing: 0,
        has_lines,
    };
    write!(start, "{value:?}")?;
    match start.missing {
        0 => Ok(()),
        missing => write!(out, "… ({missing} bytes cut)"),
    }
}

/// Hands on so many bytes, and counts the rest.
struct Start<'o> {
    out: &'o mut dyn Write,
    left: usize,
    missing: usize,
    has_lines: bool,
}

impl Write for Start<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            let bytes = character.len_utf8();
            if self.missing > 0 || bytes > self.left {
                self.missing += bytes;
                continue;
            }
            self.left -= bytes;
            match character {
                // Words from elsewhere give a terminal no orders.
                '\n' | '\t' if self.has_lines => self.out.write_char(character)?,
                _ if character.is_control() => write!(self.out, "{}", character.escape_default())?,
                _ => self.out.write_char(character)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use std::io;
    use std::sync::Arc;

    use tracing::{error, info_span};

    use super::*;

    /// Where the lines of a test go.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(line);
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(log: impl FnOnce()) -> String {
        let lines = Lines::default();
        let out = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_target(false)
            .with_writer(move || out.clone())
            .fmt_fields(fields())
            .finish();
        tracing::subscriber::with_default(subscriber, log);
        let lines = lines.0.lock();
        String::from_utf8_lossy(&lines).into_owned()
    }

    #[test]
    fn lines_are_what_they_are_without_cuts() {
        let line = logged(|| {
            let _in = info_span!("session", id = "s1", tenant = %"t").entered();
            error!(cause = "a \"word\"\n", code = 7, "plugin call failed");
        });
        let expected = "ERROR session{id=\"s1\" tenant=t}: plugin call failed \
                        cause=\"a \\\"word\\\"\\n\" code=7 ";
        assert!(line.contains(expected.trim_end()), "{line}");
    }

    #[test]
    fn long_field_hides_none_of_the_others() {
        let long = "ä".repeat(1 << 20);
        let line = logged(|| {
            let _in = info_span!("session", user = long, id = "s1").entered();
            error!(cause = long, displayed = %long, tenant = "t", "{long}");
        });
        assert!(line.len() <= super::super::MAX_LINE_BYTES, "{}", line.len());
        for whole in ["ERROR", " id=\"s1\"}", " tenant=\"t\"", " displayed=ä"] {
            assert!(line.contains(whole), "{whole} of {line}");
        }
        assert_eq!(line.matches(" bytes cut)").count(), 4);
    }

    #[test]
    fn a_field_forges_no_lines() {
        let path = "1.a\n2026-11-29T00:00:00Z  INFO login failed user=root\t";
        let line = logged(|| {
            let _in = info_span!("session", path = %path).entered();
            error!(why = %format_args!("cannot read {path}"), "message broke off");
        });
        assert_eq!(line.trim_end().lines().count(), 1, "{line}");
        assert!(line.contains("cannot read 1.a\\n2026"), "{line}");
    }

    #[test]
    fn words_from_elsewhere_give_a_terminal_no_orders() {
        let words = "\x1b[2J\u{9b}1m\x07";
        let line = logged(|| error!(displayed = %words, "{words}"));
        assert!(!line.trim_end().chars().any(char::is_control), "{line:?}");
    }
}
