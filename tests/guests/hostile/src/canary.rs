//! A pattern left in memory, and the search for it in everything that this
//! instance can read.

/// Octets of one pattern.
const LENGTH: usize = 64;

/// Octets of memory that are filled with it.
const FILLED: usize = 6 << 20;

/// Octets of one page of linear memory.
const PAGE: usize = 64 << 10;

/// One octet of the pattern. It is computed wherever it is needed, so that no
/// copy of it lies in the memory that is searched.
fn octet(seed: u8, at: usize) -> u8 {
    let at = u8::try_from(at % LENGTH).unwrap_or(0);
    (seed ^ at.wrapping_mul(37)).wrapping_add(11).rotate_left(3) | 1
}

/// "leave": fills memory with the pattern of this secret and forgets it there.
/// "search": looks for it. "both": does both, to show that a search finds.
pub(crate) fn visit(deed: &str, secret: &str) -> String {
    let seed = secret.bytes().fold(7, u8::wrapping_add);
    match deed {
        "leave" => {
            leave(seed);
            "left".to_owned()
        }
        "both" => {
            leave(seed);
            search(seed)
        }
        _ => search(seed),
    }
}

fn leave(seed: u8) {
    let left: Vec<u8> = (0..FILLED).map(|at| octet(seed, at)).collect();
    std::mem::forget(std::hint::black_box(left));
}

/// Grows as far as it may first: memory that was another's before is as good as
/// what was there from the start.
fn search(seed: u8) -> String {
    while grow() {}
    let octets = pages() * PAGE;
    let mut matched = 0;
    let mut dirty = 0usize;
    // What this instance wrote itself lies low; the rest must be zeros.
    for address in PAGE..octets {
        let here = read(address);
        dirty += usize::from(here != 0);
        matched = if here == octet(seed, matched) {
            matched + 1
        } else {
            usize::from(here == octet(seed, 0))
        };
        if matched == LENGTH {
            return format!("canary found at {address} of {octets}");
        }
    }
    format!("no canary in {octets} octets, of which {dirty} are not zero")
}

#[cfg(target_family = "wasm")]
fn grow() -> bool {
    core::arch::wasm32::memory_grow(0, 1) != usize::MAX
}

#[cfg(target_family = "wasm")]
fn pages() -> usize {
    core::arch::wasm32::memory_size(0)
}

#[cfg(target_family = "wasm")]
fn read(address: usize) -> u8 {
    // SAFETY: `address` lies below the size of linear memory, all of which can be
    // read; volatile, since no object of ours needs to be there.
    unsafe { std::ptr::read_volatile(address as *const u8) }
}

#[cfg(not(target_family = "wasm"))]
fn grow() -> bool {
    false
}

#[cfg(not(target_family = "wasm"))]
fn pages() -> usize {
    0
}

#[cfg(not(target_family = "wasm"))]
fn read(_: usize) -> u8 {
    0
}
