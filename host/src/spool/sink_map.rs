//! Which of today's sinks stands for which of the sinks that a segment keeps marks for.

/// Which of today's sinks stands for which slot of a segment's table.
///
/// A slot is its namesake's. One whose name is configured no more is taken over by all sinks that are new to the table
/// (a sink was renamed); if none is new, its events are owed to nobody now.
#[derive(Debug, PartialEq, Eq)]
pub struct SinkMap {
    /// The names of the table.
    pub names: Vec<String>,
    /// For each slot, a bit for each of today's sinks that stands for it.
    pub standing: Vec<u32>,
    /// How many sinks there are today.
    pub sinks: usize,
}

impl SinkMap {
    /// The map from a table to the sinks of today, at most 31 each.
    pub fn new(names: Vec<String>, today: &[String]) -> Self {
        let bits = |belongs: &dyn Fn(&String) -> bool| {
            let with_bits = today.iter().enumerate().filter(|(_, name)| belongs(name));
            with_bits.fold(0, |bits, (sink, _)| bits | 1 << sink)
        };
        let new = bits(&|name| !names.contains(name));
        let standing = names
            .iter()
            .map(|slot| if today.contains(slot) { bits(&|name| name == slot) } else { new })
            .collect();
        Self { names, standing, sinks: today.len() }
    }

    /// Every sink of today stands for every slot.
    pub fn all(names: Vec<String>, sinks: usize) -> Self {
        let standing = vec![(1 << sinks) - 1; names.len()];
        Self { names, standing, sinks }
    }

    /// The slots that this sink stands for.
    pub fn slots_of(&self, sink: usize) -> impl Iterator<Item = usize> {
        self.standing.iter().enumerate().filter(move |(_, bits)| *bits & 1 << sink != 0).map(|(slot, _)| slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(table: &[&str], today: &[&str]) -> Vec<u32> {
        let own = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
        SinkMap::new(own(table), &own(today)).standing
    }

    #[test]
    fn a_slot_is_its_namesakes_in_whatever_order() {
        assert_eq!(standing(&["a", "b"], &["b", "a"]), [0b10, 0b01]);
    }

    #[test]
    fn a_renamed_sink_takes_over() {
        assert_eq!(standing(&["a", "b"], &["a", "c"]), [0b01, 0b10]);
        assert_eq!(standing(&["a", "b"], &["c", "d"]), [0b11, 0b11]);
    }

    #[test]
    fn an_added_sink_is_owed_nothing_and_a_removed_one_nobody() {
        assert_eq!(standing(&["a"], &["a", "b"]), [0b01]);
        assert_eq!(standing(&["a", "b"], &["a"]), [0b01, 0]);
    }
}
