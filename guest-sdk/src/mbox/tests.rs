use super::*;
use crate::wire_octets;

const FROM: &str = "From a@b Tue Nov 14 22:13:20 2023\n";

fn found(file: &[u8], variant: Variant) -> Vec<Message> {
    let whole: Vec<Message> = messages(file, variant).collect::<io::Result<_>>().unwrap();
    for piece in [1, 2, 3, 7, 64] {
        let again = messages(file, variant).in_pieces_of(piece);
        let again: Vec<Message> = again.collect::<io::Result<_>>().unwrap();
        assert_eq!(again, whole, "in pieces of {piece}");
    }
    for message in &whole {
        let from_there = messages(file, variant).starting_at(message.start).next();
        assert_eq!(from_there.unwrap().unwrap(), *message);
        if !message.is_quoted {
            assert_eq!(message.octets, wire_octets(content(file, message)));
            assert_eq!(message.body_octets, wire_octets(body(file, message)));
        }
    }
    whole
}

fn content<'a>(file: &'a [u8], message: &Message) -> &'a [u8] {
    &file[message.content as usize..message.content_end as usize]
}

fn body<'a>(file: &'a [u8], message: &Message) -> &'a [u8] {
    &file[message.body as usize..message.content_end as usize]
}

fn contents(file: &str, variant: Variant) -> Vec<String> {
    let messages = found(file.as_bytes(), variant);
    let texts = messages
        .iter()
        .map(|message| content(file.as_bytes(), message));
    texts
        .map(|text| String::from_utf8_lossy(text).into_owned())
        .collect()
}

#[test]
fn messages_stand_between_from_lines() {
    let file = format!("{FROM}A: 1\n\nbody\n\n{FROM}B: 2\n\nno end");
    assert_eq!(
        contents(&file, Variant::Mboxo),
        ["A: 1\n\nbody\n", "B: 2\n\nno end"]
    );
    let all = found(file.as_bytes(), Variant::Mboxo);
    assert_eq!((all[0].start, all[0].end), (0, all[1].start));
    assert_eq!(all[1].end, file.len() as u64);
    assert_eq!(all[0].header, b"A: 1\n\n");
    assert_eq!(all[0].from_line, FROM.trim_end().as_bytes());
    assert_eq!(all[0].received, 1_700_000_000);
}

#[test]
fn crlf_files_and_strange_ends() {
    for file in ["", "\n\r\n\n"] {
        assert_eq!(contents(file, Variant::Mboxo), [""; 0], "{file:?}");
    }
    for file in [format!("{FROM}A: 1\n"), format!("\n{FROM}A: 1\n\n")] {
        assert_eq!(contents(&file, Variant::Mboxo), ["A: 1\n"], "{file:?}");
    }
    let crlf = FROM.replace('\n', "\r\n");
    let file = format!("{crlf}A: 1\r\n\r\nbody\r\n\r\n{crlf}\r\n{crlf}");
    assert_eq!(
        contents(&file, Variant::Mboxo),
        ["A: 1\r\n\r\nbody\r\n", "", ""]
    );
    // A blank line too few, and one too many.
    let file = format!("{FROM}A: 1\n\nbody\n{FROM}B: 2\n\nbody\n\n\n{FROM}C: 3\n\n");
    assert_eq!(
        contents(&file, Variant::Mboxo),
        ["A: 1\n\nbody\n", "B: 2\n\nbody\n\n", "C: 3\n"]
    );
    // The last message keeps its name when another one is put behind it.
    let before = found(format!("{FROM}A: 1\n\nbody").as_bytes(), Variant::Mboxo);
    let behind = found(
        format!("{FROM}A: 1\n\nbody\n\n{FROM}").as_bytes(),
        Variant::Mboxo,
    );
    assert_eq!(before[0].body_octets, behind[0].body_octets);
}

#[test]
fn what_is_no_mbox_is_told() {
    for file in ["Subject: x\n", "From here on\n", "\n\nx"] {
        let mut all = messages(file.as_bytes(), Variant::Mboxo);
        let error = all.next().unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{file:?}");
        assert!(all.next().is_none());
    }
}

#[test]
fn lines_that_only_look_like_it_stay_inside() {
    let file = format!("{FROM}A: 1\n\nFrom here\n>{FROM} {FROM}x{FROM}\n");
    let messages = contents(&file, Variant::Mboxo);
    assert_eq!(
        messages,
        [format!("A: 1\n\nFrom here\n>{FROM} {FROM}x{FROM}")]
    );
    let long = format!(
        "{FROM}A: {}\n\n{}\n{FROM}",
        "x".repeat(5000),
        "y".repeat(5000)
    );
    assert_eq!(found(long.as_bytes(), Variant::Mboxo).len(), 2);
}

#[test]
fn without_a_blank_line_before_it_a_from_line_has_nothing_else_in_it() {
    let text = "From a Tue Nov 14 22:13:20 2023 on it went well\n";
    for (before, line, expected) in [
        ("body\n", FROM, 2),
        ("body\n", text, 1),
        ("body\n", "From -\n", 1),
        ("body\n\n", text, 2),
        ("body\n\n", "From -\n", 2),
        ("body\n", "From a Tue, 14 Nov 2023 22:13:20 +0000\n", 2),
        ("body\n\n", "From a Tue, 14 Nov 2023 22:13:20 +0000\n", 2),
    ] {
        let file = format!("{FROM}A: 1\n\n{before}{line}B: 2\n");
        let messages = found(file.as_bytes(), Variant::Mboxo);
        assert_eq!(messages.len(), expected, "{file}");
    }
    // A header is no text of somebody's: after it, too.
    let file = format!("{FROM}A: 1\n{text}\nbody\n");
    assert_eq!(found(file.as_bytes(), Variant::Mboxo).len(), 1);
}

#[test]
fn quoted_lines_of_a_body_weigh_one_less() {
    let file = format!("{FROM}>From a: header\n\n>From one\n>>From two\n> From\n\n");
    let plain = &found(file.as_bytes(), Variant::Mboxo)[0];
    let quoted = &found(file.as_bytes(), Variant::Mboxrd)[0];
    assert!(quoted.is_quoted && !plain.is_quoted);
    assert_eq!(quoted.octets + 2, plain.octets);
    let (mut unquoting, mut out) = (Unquoting::new(), Vec::new());
    unquoting.feed(body(file.as_bytes(), quoted), &mut out);
    unquoting.finish(&mut out);
    assert_eq!(wire_octets(&out), quoted.body_octets);
}

#[test]
fn a_content_length_is_believed_where_it_can_be_true() {
    let inner = format!("one\n\n{FROM}two\n");
    for (length, expected) in [
        (inner.len(), 2),
        // With the blank line behind it, as some count.
        (inner.len() + 1, 2),
        (inner.len() - 1, 3),
        (inner.len() + 2, 3),
        (0, 3),
        (usize::MAX, 3),
        // Behind the end of the file.
        (10_000, 3),
    ] {
        let file = format!("{FROM}Content-Length: {length}\n\n{inner}\n{FROM}B: 2\n");
        let all = found(file.as_bytes(), Variant::Mboxcl2);
        assert_eq!(all.len(), expected, "{length}");
        assert_eq!(found(file.as_bytes(), Variant::Mboxo).len(), 3);
        if length == inner.len() {
            assert_eq!(body(file.as_bytes(), &all[0]), inner.as_bytes());
        }
    }
    // The line end belongs to nobody.
    let file = format!("{FROM}Content-Length: 3\n\none\n{FROM}B: 2\n");
    let all = found(file.as_bytes(), Variant::Mboxcl2);
    assert_eq!(
        (all.len(), body(file.as_bytes(), &all[0])),
        (2, &b"one"[..])
    );
    let exact = format!("{FROM}Content-Length: {}\n\n{inner}", inner.len());
    assert_eq!(found(exact.as_bytes(), Variant::Mboxcl2).len(), 1);
    let twice = format!(
        "{FROM}Content-Length: 1\nContent-Length: {}\n\n{inner}",
        inner.len()
    );
    assert_eq!(found(twice.as_bytes(), Variant::Mboxcl2).len(), 2);
    let empty = format!("{FROM}Content-Length: 0\n\n\n{FROM}");
    assert_eq!(found(empty.as_bytes(), Variant::Mboxcl2).len(), 2);
}

#[test]
fn a_file_that_changes_is_not_read_on() {
    let folder = std::env::temp_dir().join(format!("sdk-mbox-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    crate::testing::set_maildrop(&folder);
    std::fs::write(folder.join("mbox"), format!("{FROM}A: 1\n\n{FROM}")).unwrap();
    let mut all = messages(File::open("mbox").unwrap(), Variant::Mboxo).in_pieces_of(50);
    assert!(all.next().unwrap().is_ok());
    std::fs::write(folder.join("mbox"), format!("{FROM}A: 1\n\n{FROM}B: 2\n")).unwrap();
    let error = all.next().unwrap().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(
        File::open("mbox").unwrap_err().kind(),
        io::ErrorKind::NotFound
    );
}
