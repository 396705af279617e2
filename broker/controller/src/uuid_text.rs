//! Ids as Kafka writes them: 22 characters of URL-safe base64 without padding.

use uuid::Uuid;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const LENGTH: usize = 22;

/// The text of `id`.
pub fn format(id: Uuid) -> String {
    // 128 bits and four zero bits behind them make 22 groups of six.
    let bits = id.as_u128();
    (0..LENGTH)
        .map(|group| {
            let shift = 128 - 6 * (group as i32 + 1);
            let six = if shift >= 0 { bits >> shift } else { bits << -shift };
            char::from(ALPHABET[(six & 63) as usize])
        })
        .collect()
}

/// The id that `text` is, `None` for what no id looks like.
pub fn parse(text: &str) -> Option<Uuid> {
    if text.len() != LENGTH {
        return None;
    }
    let mut bits = 0u128;
    for (group, character) in text.bytes().enumerate() {
        let six = ALPHABET.iter().position(|known| *known == character)? as u128;
        let shift = 128 - 6 * (group as i32 + 1);
        bits |= if shift >= 0 { six << shift } else { six >> -shift };
    }
    Some(Uuid::from_u128(bits))
}

/// A new id; never one that starts with or holds a `-`, which a shell would take for an option (as Apache).
pub fn random() -> Uuid {
    loop {
        let id = Uuid::new_v4();
        if !format(id).contains('-') {
            return id;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts and bytes from Java's `Uuid`.
    #[test]
    fn texts_are_javas() {
        assert_eq!(format(Uuid::nil()), "AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(format(Uuid::from_u128(1)), "AAAAAAAAAAAAAAAAAAAAAQ");
        let id = parse("MkU3OEVBNTcwNTJENDM2Qg").unwrap();
        assert_eq!(id.as_bytes(), b"2E78EA57052D436B");
        assert_eq!(format(id), "MkU3OEVBNTcwNTJENDM2Qg");
        assert_eq!(parse("short"), None);
        assert_eq!(parse("MkU3OEVBNTcwNTJENDM2Q="), None);
    }
}
