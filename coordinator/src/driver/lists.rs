//! What leaves when a worker's list has changed several times at once.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use marketplace::{Effect, Effects};

/// Takes all effects, in their order. Of the lists of one session only the newest stays, in the place of the first: each list
/// is whole, so that the others would only be superseded on their way. Under load this saves most of the messages to workers.
pub(super) fn with_newest_lists(effects: &mut Effects) -> Vec<Effect> {
    let mut taken = Vec::new();
    let mut places = BTreeMap::new();
    while let Some(effect) = effects.pop() {
        if let Effect::List { session, .. } = &effect {
            match places.entry(*session) {
                Entry::Occupied(place) => {
                    taken[*place.get()] = effect;
                    continue;
                }
                Entry::Vacant(place) => {
                    place.insert(taken.len());
                }
            }
        }
        taken.push(effect);
    }
    taken
}
