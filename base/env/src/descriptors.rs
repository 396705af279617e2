//! How many files and sockets this process may hold open.
//!
//! Called once by the binary, and by whoever keeps a part of them for itself.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Stands for "no limit".
pub const UNLIMITED: u64 = u64::MAX;

/// The limit in force (`RLIMIT_NOFILE`, soft).
pub fn limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(UNLIMITED)
}

/// Raises the limit to the highest that this process may set; returns what it was and what it is.
///
/// # Errors
/// The system's own; the limit is then as it was.
pub fn raise() -> io::Result<(u64, u64)> {
    let found = getrlimit(Resource::Nofile);
    let before = found.current.unwrap_or(UNLIMITED);
    if found.current != found.maximum {
        setrlimit(Resource::Nofile, Rlimit { current: found.maximum, maximum: found.maximum })?;
    }
    Ok((before, limit()))
}

/// How many of `limit` descriptors sockets may take, so that files can always be opened: what is left is a quarter,
/// at least 512, at most half.
pub fn for_sockets(limit: u64) -> u64 {
    limit - (limit / 4).max(512).min(limit / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_to_the_highest() {
        let (before, after) = raise().unwrap();
        assert!(after >= before);
        assert_eq!(after, getrlimit(Resource::Nofile).maximum.unwrap_or(UNLIMITED));
        assert_eq!(limit(), after);
    }

    #[test]
    fn files_keep_their_part() {
        for (limit, sockets) in [(0, 0), (256, 128), (1024, 512), (2048, 1536), (1 << 20, 3 << 18)] {
            assert_eq!(for_sockets(limit), sockets, "{limit}");
        }
        assert!(for_sockets(UNLIMITED) > 1 << 40);
    }
}
