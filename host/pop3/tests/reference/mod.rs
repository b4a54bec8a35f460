//! A message on the wire as RFC 1939 has it, made of the whole of it at once, and
//! the client that reads it. Shared with the fuzz targets.

/// The message as its reader will have it: lines, each with its CRLF.
pub(crate) fn reference_lines(raw: &[u8]) -> Vec<Vec<u8>> {
    let mut lines = Vec::new();
    let mut line = Vec::new();
    for &octet in raw {
        if octet == b'\n' {
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            line.extend(b"\r\n");
            lines.push(std::mem::take(&mut line));
        } else {
            line.push(octet);
        }
    }
    if !line.is_empty() {
        line.extend(b"\r\n");
        lines.push(line);
    }
    lines
}

/// "the headers of the message, the blank line separating the headers from the
/// body, and then the number of lines of the indicated message's body"
fn reference_top(lines: &[Vec<u8>], body_lines: u64) -> Vec<Vec<u8>> {
    let header = lines
        .iter()
        .position(|line| line == b"\r\n")
        .map_or(lines.len(), |blank| blank + 1);
    let body = lines.len() - header;
    let wanted = usize::try_from(body_lines).map_or(body, |wanted| wanted.min(body));
    lines[..header + wanted].to_vec()
}

/// What goes out, and how many octets LIST says.
pub(crate) fn reference(raw: &[u8], body_lines: Option<u64>) -> (Vec<u8>, u64) {
    let mut lines = reference_lines(raw);
    if let Some(body_lines) = body_lines {
        lines = reference_top(&lines, body_lines);
    }
    let octets = lines.iter().map(Vec::len).sum::<usize>() as u64;
    let mut wire = Vec::new();
    for line in lines {
        if line[0] == b'.' {
            wire.push(b'.');
        }
        wire.extend(line);
    }
    wire.extend(b".\r\n");
    (wire, octets)
}

/// A client as RFC 1939 section 3 describes it. None: the reply has no end, or
/// something follows it.
pub(crate) fn client(wire: &[u8]) -> Option<Vec<u8>> {
    let mut message = Vec::new();
    let mut rest = wire;
    loop {
        let end = rest.windows(2).position(|pair| pair == b"\r\n")? + 2;
        let (line, behind) = rest.split_at(end);
        rest = behind;
        match line {
            b".\r\n" => return rest.is_empty().then_some(message),
            [b'.', stuffed @ ..] => message.extend(stuffed),
            line => message.extend(line),
        }
    }
}
