//! Inventory's cache of stock levels. Entries carry a checksum; one that does not fit is refused, not served.

use crate::load::SKUS;
use parking_lot::RwLock;

/// Of a hundred entries, how many poisoning spoils.
const POISONED_PERCENT: usize = 60;

/// The cache: an entry per article, filled at start.
pub struct Stock {
    entries: RwLock<Vec<Entry>>,
}

#[derive(Clone, Copy)]
struct Entry {
    level: u32,
    checksum: u32,
}

/// An entry that cannot be trusted.
#[derive(Debug, PartialEq, Eq)]
pub struct Poisoned {
    pub sku: u32,
}

impl Stock {
    pub fn fresh() -> Self {
        Self { entries: RwLock::new((0..SKUS).map(|sku| Entry::of(sku, 1_000 + sku)).collect()) }
    }

    /// The article's level; 0 for an article that is not known.
    pub fn level(&self, sku: u32) -> Result<u32, Poisoned> {
        match self.entries.read().get(sku as usize) {
            Some(entry) if entry.checksum == checksum(sku, entry.level) => Ok(entry.level),
            Some(_) => Err(Poisoned { sku }),
            None => Ok(0),
        }
    }

    /// Writes garbage over the levels of a part of the entries.
    pub fn poison(&self) {
        for (index, entry) in self.entries.write().iter_mut().enumerate() {
            if index % 100 < POISONED_PERCENT {
                entry.level ^= 0x00FF_00FF;
            }
        }
    }

    /// Fills the cache anew.
    pub fn refill(&self) {
        *self.entries.write() = (0..SKUS).map(|sku| Entry::of(sku, 1_000 + sku)).collect();
    }

    pub fn is_poisoned(&self) -> bool {
        (0..SKUS).any(|sku| self.level(sku).is_err())
    }
}

impl Entry {
    fn of(sku: u32, level: u32) -> Self {
        Self { level, checksum: checksum(sku, level) }
    }
}

fn checksum(sku: u32, level: u32) -> u32 {
    sku.wrapping_mul(0x9E37_79B1) ^ level.rotate_left(13)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn poison_spoils_the_stated_part_and_a_refill_cures() {
        let stock = Stock::fresh();
        assert!(!stock.is_poisoned());
        stock.poison();
        let refused = (0..SKUS).filter(|sku| stock.level(*sku) == Err(Poisoned { sku: *sku })).count();
        assert_eq!(refused * 100, POISONED_PERCENT * SKUS as usize);
        stock.refill();
        assert_eq!(stock.level(7), Ok(1_007));
        assert_eq!(stock.level(SKUS), Ok(0), "an unknown article is out of stock, not an error");
    }
}
