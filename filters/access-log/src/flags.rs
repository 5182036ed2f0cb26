/// Envoy's response flags as the short letters of its access logs, in the order of their bits (`CoreResponseFlag` in
/// `envoy/stream_info/stream_info.h`).
const LETTERS: [&str; 30] = [
    "LH", "UH", "UT", "LR", "UR", "UF", "UC", "UO", "NR", "DI", "FI", "RL", "UAEX", "RLSE", "DC", "URX", "SI", "IH", "DPE", "UMSDR",
    "RFCF", "NFCF", "DT", "UPE", "NC", "OM", "DF", "DO", "DR", "UDO",
];

/// Comma separated, as `%RESPONSE_FLAGS%` is; empty when no flag is set. A bit that has no letters here is written by its number, so that a
/// newer Envoy's flag is not lost.
#[inline(never)]
pub(crate) fn letters(flags: u64) -> String {
    let mut out = String::new();
    for bit in 0..u64::BITS {
        if flags >> bit & 1 == 0 {
            continue;
        }
        if !out.is_empty() {
            out.push(',');
        }
        match usize::try_from(bit).ok().and_then(|bit| LETTERS.get(bit)) {
            Some(letters) => out.push_str(letters),
            None => out.push_str(&format!("bit{bit}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_set_bit_is_one_name() {
        for (flags, expected) in [
            (0, ""),
            (1 << 1, "UH"),
            (1 << 5, "UF"),
            (1 << 8, "NR"),
            (1 << 12, "UAEX"),
            (1 << 14, "DC"),
            (1 << 24, "NC"),
            (1 << 29, "UDO"),
            (1 << 5 | 1 << 15, "UF,URX"),
            (1 << 40, "bit40"),
            (1 << 63, "bit63"),
        ] {
            assert_eq!(letters(flags), expected, "{flags:#x}");
        }
    }
}
