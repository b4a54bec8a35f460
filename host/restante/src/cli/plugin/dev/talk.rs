//! Log lines for whoever writes a plugin: what the guest says as it said it, and a
//! trap with its cause, its last words and its functions each on a line.

use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// From now on log lines go to stderr like this.
pub(super) fn begin() -> anyhow::Result<()> {
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new("info"))
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .event_format(Legible);
    let begun = subscriber.try_init();
    begun.map_err(|error| anyhow::anyhow!("the log cannot be shown: {error}"))
}

struct Legible;

impl<S, N> FormatEvent<S, N> for Legible
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut said = Fields::default();
        event.record(&mut said);
        let level = event.metadata().level().as_str().to_lowercase();
        out.write_str(&said.text(&level))
    }
}

/// The fields of a line.
#[derive(Default)]
struct Fields {
    fields: Vec<(&'static str, String)>,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.push((field.name(), value.to_owned()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.fields.push((field.name(), format!("{value:?}")));
    }
}

impl Fields {
    fn field(&self, name: &str) -> &str {
        let mut fields = self.fields.iter();
        let found = fields.find(|(known, _)| *known == name);
        found.map_or("", |(_, value)| value)
    }

    fn text(&self, level: &str) -> String {
        let plugin = self.field("plugin");
        let mut text = String::new();
        // Writing to a String cannot fail.
        match self.field("message") {
            "guest says" => {
                let said = self.field("text");
                // It was quoted, so that it stays on its line.
                let said = said
                    .strip_prefix('"')
                    .and_then(|said| said.strip_suffix('"'));
                let context = match self.field("context") {
                    "" => String::new(),
                    context => format!(" {context}"),
                };
                let said = said.unwrap_or_default();
                let _ = writeln!(text, "{plugin} {level}{context}: {said}");
            }
            "plugin call failed" => {
                let (call, cause) = (self.field("call"), self.field("cause"));
                let _ = writeln!(text, "{plugin} FAILED in {call}: {cause}");
                for line in self.field("said").lines() {
                    let _ = writeln!(text, "    said  {}", line.escape_debug());
                }
                let frames = self.field("backtrace").split(" < ");
                for frame in frames.filter(|frame| !frame.is_empty()) {
                    let _ = writeln!(text, "    in    {}", frame.escape_debug());
                }
            }
            message => {
                let _ = write!(text, "{level}: {message}");
                for (name, value) in &self.fields {
                    if *name != "message" {
                        let _ = write!(text, " {name}={value}");
                    }
                }
                text.push('\n');
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_guest_says_and_how_it_fails_can_be_read() {
        let said = |fields: &[(&'static str, &str)]| Fields {
            fields: fields
                .iter()
                .map(|&(name, value)| (name, value.to_owned()))
                .collect(),
        };
        let line = said(&[
            ("message", "guest says"),
            ("plugin", "own"),
            ("context", "stderr"),
            ("text", "\"a \\\"word\\\"\""),
        ]);
        assert_eq!(line.text("warn"), "own warn stderr: a \\\"word\\\"\n");
        let trap = said(&[
            ("message", "plugin call failed"),
            ("plugin", "own"),
            ("call", "store.open"),
            ("cause", "unreachable"),
            ("said", "panicked\nat src/lib.rs:3"),
            ("backtrace", "abort < own::open"),
        ]);
        assert_eq!(
            trap.text("error"),
            "own FAILED in store.open: unreachable\n    said  panicked\n    said  at src/lib.rs:3\n    in    abort\n    in    own::open\n"
        );
        let other = said(&[("message", "login"), ("user", "\"ada\"")]);
        assert_eq!(other.text("info"), "info: login user=\"ada\"\n");
    }
}
