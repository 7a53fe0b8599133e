//! A small ordered set: equal contents are equal states, whatever the order of insertion.

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Set<T>(Vec<T>);

impl<T> Default for Set<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Ord + Copy> Set<T> {
    /// `false` when it was in already.
    pub fn insert(&mut self, item: T) -> bool {
        match self.0.binary_search(&item) {
            Ok(_) => false,
            Err(place) => {
                self.0.insert(place, item);
                true
            }
        }
    }
    pub fn contains(&self, item: T) -> bool {
        self.0.binary_search(&item).is_ok()
    }
    pub fn iter(&self) -> impl Iterator<Item = T> + '_ {
        self.0.iter().copied()
    }
    pub fn retain(&mut self, keep: impl FnMut(&T) -> bool) {
        self.0.retain(keep);
    }
    pub fn change(&mut self, mut change: impl FnMut(T) -> T) {
        for item in &mut self.0 {
            *item = change(*item);
        }
        self.0.sort_unstable();
    }
}
