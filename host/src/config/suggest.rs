//! "Did you mean": the nearest of the words that would have been right.

/// Below this nobody would take one word for the other.
const ALIKE: f64 = 0.75;

/// The candidate that looks most like `word`, if any looks like it at all.
pub(crate) fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let word = word.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (likeness(&word, &candidate.to_lowercase()), candidate))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// `; did you mean …?`, or nothing.
pub(super) fn did_you_mean<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> String {
    nearest(word, candidates).map(|found| format!("; did you mean `{found}`?")).unwrap_or_default()
}

/// Words as a list in a sentence: `` `a`, `b` ``.
pub(super) fn list<'c>(words: impl IntoIterator<Item = &'c str>) -> String {
    words.into_iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

fn likeness(word: &str, candidate: &str) -> f64 {
    let contained = word.len() >= 3 && (candidate.contains(word) || word.contains(candidate));
    strsim::normalized_damerau_levenshtein(word, candidate)
        .max(strsim::jaro_winkler(word, candidate) - 0.05)
        .max(if contained { ALIKE } else { 0.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_offered() {
        let keys =
            ["batch_size", "flush_interval", "use_worker", "max_in_flight", "topic", "bootstrap_servers"];
        for (word, meant) in [
            ("batchsize", "batch_size"),
            ("batchSize", "batch_size"),
            ("flush-interval", "flush_interval"),
            ("interval", "flush_interval"),
            ("topik", "topic"),
            ("tpoic", "topic"),
            ("servers", "bootstrap_servers"),
            ("useworkers", "use_worker"),
        ] {
            assert_eq!(nearest(word, keys), Some(meant), "{word}");
        }
    }

    #[test]
    fn nothing_is_offered_for_a_word_like_no_other() {
        for word in ["", "x", "zzz", "frobnicate", "päth"] {
            assert_eq!(nearest(word, ["batch_size", "topic", "class"]), None, "{word}");
        }
    }
}
