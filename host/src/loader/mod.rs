//! Loads sink classes.
