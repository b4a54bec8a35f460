//! The file of a recording: JSON lines, the first a header with a version.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use thiserror::Error;

/// Of the format. A reader refuses any other.
pub const VERSION: u32 = 1;

/// Octets of one session's file. What comes after is not recorded.
pub const SESSION_OCTETS: u64 = 64 << 20;

/// Octets of one line.
pub const LINE: usize = 16 << 20;

/// Octets of a recording that are read: the last line may go over.
const READ_OCTETS: usize = SESSION_OCTETS as usize + 2 * LINE;

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "kebab-case")]
pub enum Line {
    /// The first one.
    Session(Header),
    /// Stands before the first call of a plugin.
    Plugin(PluginLine),
    /// A call of a plugin.
    Call(Call),
    /// The last one.
    End {
        /// "closed", or what kept the rest from being recorded.
        why: String,
    },
}

/// Whose session it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Header {
    /// Of the format.
    pub restante_recording: u32,
    /// The version of restante that wrote it.
    pub restante: String,
    /// Its name.
    pub tenant: String,
    /// As log lines have it.
    pub session: String,
    /// Its name.
    pub listener: String,
    /// Address and port.
    pub client: String,
    /// When it began, in milliseconds since the Unix epoch.
    pub begun: u64,
    /// Whether octets of mail were kept.
    pub mail: bool,
}

/// A plugin as it was.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PluginLine {
    /// As the configuration calls it.
    pub plugin: String,
    /// Where its component came from.
    pub component: String,
    /// SHA-256 of the component, hexadecimal.
    pub digest: String,
    /// As it was given them, secrets replaced.
    pub settings: Vec<(String, String)>,
    /// The keys of settings whose values were replaced.
    pub redacted: Vec<String>,
}

/// A call of a plugin.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Call {
    /// As the configuration calls it.
    pub plugin: String,
    /// "store.listing"
    pub call: String,
    /// Which of the session's instances answered, from 0.
    pub instance: u64,
    /// When it began, since the session did.
    pub at_microseconds: u64,
    /// Until it was answered.
    pub took_microseconds: u64,
    /// The arguments.
    pub asked: Value,
    /// What came back.
    #[serde(flatten)]
    pub answered: Answered,
    /// What the plugin asked the host meanwhile, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub host: Vec<HostCall>,
    /// How many more of those there were, over a bound.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub host_left_out: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What came back of a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answered {
    /// An answer.
    Answered(Value),
    /// None: it trapped, took too long, or answered what cannot be.
    Failed(String),
}

/// What a plugin asked the host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostCall {
    /// "passwords.verify"
    pub call: String,
    /// The arguments.
    pub asked: Value,
    /// What came back.
    pub answered: Value,
}

/// Octets, in base64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Octets(pub Vec<u8>);

impl Serialize for Octets {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Octets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let octets = STANDARD.decode(text).map_err(serde::de::Error::custom)?;
        Ok(Octets(octets))
    }
}

/// Octets that may have been left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// How many there were.
    pub octets: u64,
    /// None: they were left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<Octets>,
}

/// A recording that was read.
#[derive(Debug)]
pub struct Recording {
    /// Whose session it is.
    pub header: Header,
    /// Its plugins.
    pub plugins: Vec<PluginLine>,
    /// Their calls, in order.
    pub calls: Vec<Call>,
    /// What is missing at its end. None: it is whole.
    pub cut: Option<String>,
}

/// Why a file is no recording.
#[derive(Debug, Error)]
pub enum RecordingError {
    /// The file.
    #[error("cannot be read: {0}")]
    Read(#[from] io::Error),
    /// It does not begin as one.
    #[error(
        "is no recording of restante's: its first line is not the header that `restante serve --record` writes"
    )]
    Foreign,
    /// Another restante wrote it.
    #[error(
        "is a recording of format {0}, and this restante reads format {VERSION}: replay it with the restante that wrote it, or record anew"
    )]
    Version(u64),
    /// A line in the middle.
    #[error("line {0} is damaged: {1}")]
    Line(usize, String),
    /// More than is read.
    #[error("is too long: a recording has at most {READ_OCTETS} octets, and {LINE} in a line")]
    TooLong,
}

impl Recording {
    /// Reads a file. One that breaks off (a crash, a full disk) is read as far as
    /// it goes.
    ///
    /// # Errors
    /// It cannot be read, or is none.
    pub fn read(path: &Path) -> Result<Recording, RecordingError> {
        Recording::parse(BufReader::new(File::open(path)?))
    }

    fn parse(mut file: impl BufRead) -> Result<Recording, RecordingError> {
        let header = header(&line(&mut file)?)?;
        let mut recording = Recording {
            header,
            plugins: Vec::new(),
            calls: Vec::new(),
            cut: Some("it breaks off: the server was killed, or its disk was full".to_owned()),
        };
        let mut read = 0;
        for number in 2_usize.. {
            let octets = line(&mut file)?;
            read += octets.len();
            if read > READ_OCTETS {
                return Err(RecordingError::TooLong);
            }
            if octets.is_empty() {
                return Ok(recording);
            }
            if !octets.ends_with(b"\n") {
                // Half a line is what a crash leaves.
                return Ok(recording);
            }
            let line = serde_json::from_slice(&octets)
                .map_err(|error| RecordingError::Line(number, error.to_string()))?;
            match line {
                Line::Plugin(plugin) => recording.plugins.push(plugin),
                Line::Call(call) => recording.calls.push(call),
                Line::End { why } if why == "closed" => recording.cut = None,
                Line::End { why } => recording.cut = Some(why),
                Line::Session(_) => {
                    let what = "a second header".to_owned();
                    return Err(RecordingError::Line(number, what));
                }
            }
        }
        Ok(recording)
    }
}

/// A line with its end; empty at the end of the file.
fn line(file: &mut impl BufRead) -> Result<Vec<u8>, RecordingError> {
    let mut octets = Vec::new();
    file.by_ref()
        .take(LINE as u64 + 1)
        .read_until(b'\n', &mut octets)?;
    match octets.len() > LINE {
        true => Err(RecordingError::TooLong),
        false => Ok(octets),
    }
}

fn header(first: &[u8]) -> Result<Header, RecordingError> {
    let value: Value = serde_json::from_slice(first).map_err(|_| RecordingError::Foreign)?;
    let version = value["restante-recording"].as_u64();
    match version.ok_or(RecordingError::Foreign)? {
        version if version == u64::from(VERSION) => {}
        version => return Err(RecordingError::Version(version)),
    }
    match serde_json::from_value(value) {
        Ok(Line::Session(header)) => Ok(header),
        _ => Err(RecordingError::Foreign),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = r#"{"line":"session","restante-recording":1,"restante":"0","tenant":"t","session":"s","listener":"l","client":"c","begun":1,"mail":false}"#;
    const CALL: &str = r#"{"line":"call","plugin":"p","call":"admission.admit","instance":0,"at-microseconds":1,"took-microseconds":2,"asked":{},"answered":"Admit"}"#;

    fn read(text: &str) -> Result<Recording, RecordingError> {
        Recording::parse(text.as_bytes())
    }

    #[test]
    fn a_whole_recording_is_read_and_a_cut_one_as_far_as_it_goes() {
        let whole = format!("{HEADER}\n{CALL}\n{{\"line\":\"end\",\"why\":\"closed\"}}\n");
        let recording = read(&whole).unwrap();
        assert_eq!((recording.calls.len(), recording.cut), (1, None));
        let answered = Answered::Answered("Admit".into());
        assert_eq!(recording.calls[0].answered, answered);
        for cut in [
            format!("{HEADER}\n{CALL}\n"),
            format!("{HEADER}\n{CALL}\n{}", &CALL[..30]),
        ] {
            let recording = read(&cut).unwrap();
            assert_eq!(recording.calls.len(), 1);
            assert!(recording.cut.unwrap().contains("breaks off"));
        }
        let full = format!("{HEADER}\n{{\"line\":\"end\",\"why\":\"full\"}}\n");
        assert_eq!(read(&full).unwrap().cut.as_deref(), Some("full"));
    }

    #[test]
    fn what_is_no_recording_has_its_own_words() {
        for (text, words) in [
            ("", "no recording"),
            ("hello\n", "no recording"),
            ("{}\n", "no recording"),
            ("{\"restante-recording\":1}\n", "no recording"),
            ("{\"restante-recording\":2}\n", "format 2"),
            (&format!("{HEADER}\nnot json\n"), "line 2 is damaged"),
            (&format!("{HEADER}\n{HEADER}\n"), "line 2 is damaged"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
