//! The page in a real Chromium: the demo in its middle, a daemon that has just begun, and one in trouble with hostile names, each in
//! light and dark on a phone and on a desk. `browse.mjs` says what it looks at. Screenshots are left in target/page.

#[cfg(test)]
mod browser;
#[cfg(test)]
#[path = "../../src/explain/hostile.rs"]
mod hostile;
#[cfg(test)]
mod made_up;

#[cfg(test)]
use autotune::explain::printable;
