//! `[engine.NAME.s3]`: a bucket that an engine's messages are in.

use super::disk::Wanted;
use super::keys;
use super::model::BucketPlace;
use super::origin::HttpOrigin;
use super::problem::quoted;
use super::read_postgres::path;
use super::section::{Section, Value};

/// Octets of a bucket's name: S3 gives 63, some stores more.
const MAX_BUCKET: usize = 255;
/// Octets of a prefix: half of what a key may have.
const MAX_PREFIX: usize = 512;
/// Octets of a region's name.
const MAX_REGION: usize = 64;

pub(super) fn bucket(section: Section<'_, '_>) -> Option<BucketPlace> {
    let mut section = section.with(&keys::ENGINE_S3);
    let endpoint = section.require("endpoint", "endpoint = \"https://s3.example.org\"");
    let endpoint = endpoint.and_then(|value| endpoint_of(&value));
    let name = section.require("bucket", "bucket = \"mail\"");
    let name = name.and_then(|value| name_of(&value));
    let region = match section.take("region") {
        Some(value) => region_of(&value),
        None => keys::ENGINE_S3.text("region"),
    };
    let prefix = match section.take("prefix") {
        Some(value) => prefix_of(&value),
        None => keys::ENGINE_S3.text("prefix"),
    };
    let credentials_file = section.require(
        "credentials-file",
        "credentials-file = \"/etc/restante/s3-credentials\"",
    );
    let credentials_file =
        credentials_file.and_then(|value| path(&value, "credentials-file", Wanted::File));
    let ca_file = section.take("ca-file");
    let ca_file = ca_file.map(|value| path(&value, "ca-file", Wanted::File));
    let read_back = section.boolean("read-back");
    let max_inline = section.size("max-inline");
    section.finish();
    Some(BucketPlace {
        endpoint: endpoint?,
        bucket: name?,
        region: region?,
        prefix: prefix?,
        credentials_file: credentials_file?,
        ca_file: match ca_file {
            Some(file) => Some(file?),
            None => None,
        },
        read_back,
        max_inline,
    })
}

fn endpoint_of(value: &Value<'_, '_>) -> Option<HttpOrigin> {
    const EXAMPLE: &str = "write \"https://HOST\" or \"https://HOST:PORT\", without the bucket";
    let text = value.string("a URL, in quotes")?.value;
    if text.contains('@') {
        // Not shown: it may have a key in it.
        return value.bad(
            "has a user in it",
            "leave that out, and write the key into the file that `credentials-file` names",
        );
    }
    match HttpOrigin::parse(&text) {
        None => value.bad(format_args!("is {}", quoted(&text)), EXAMPLE),
        Some(origin) if !origin.is_tls() && !origin.is_loopback() => value.bad(
            format_args!(
                "is {}, and mail and signatures could be read on the way there",
                quoted(&text)
            ),
            "write https://, which http:// may be only for an address of this machine",
        ),
        origin => origin,
    }
}

fn name_of(value: &Value<'_, '_>) -> Option<String> {
    let name = value.string("a bucket's name, in quotes")?.value;
    let is_octet = |octet: u8| octet.is_ascii_alphanumeric() || b".-_".contains(&octet);
    let is_name = !name.is_empty()
        && name.len() <= MAX_BUCKET
        && !name.starts_with('.')
        && name.bytes().all(is_octet);
    match is_name {
        true => Some(name),
        false => value.bad(
            format_args!("is {}", quoted(&name)),
            "write the bucket's name: letters, digits, `-`, `_` and `.`, and no `.` first; what stands before the keys is `prefix`",
        ),
    }
}

fn region_of(value: &Value<'_, '_>) -> Option<String> {
    let region = value.string("a region's name, in quotes")?.value;
    let is_octet = |octet: u8| octet.is_ascii_alphanumeric() || b"-_.".contains(&octet);
    match !region.is_empty() && region.len() <= MAX_REGION && region.bytes().all(is_octet) {
        true => Some(region),
        false => value.bad(
            format_args!("is {}", quoted(&region)),
            "write the region as the store has it, such as \"eu-central-1\"; leave it out if the store has none",
        ),
    }
}

fn prefix_of(value: &Value<'_, '_>) -> Option<String> {
    let prefix = value.string("what keys begin with, in quotes")?.value;
    let path = prefix.strip_suffix('/').unwrap_or(&prefix);
    let is_part = |part: &str| !part.is_empty() && part != "." && part != ".." && part.len() < 256;
    let is_prefix = prefix.is_empty()
        || prefix.len() <= MAX_PREFIX
            && !prefix.chars().any(char::is_control)
            && path.split('/').all(is_part);
    match is_prefix {
        true => Some(prefix),
        false => value.bad(
            format_args!("is {}", quoted(&prefix)),
            format!(
                "write at most {MAX_PREFIX} octets that do not begin with \"/\", such as \"mail/\""
            ),
        ),
    }
}
