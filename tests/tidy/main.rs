//! Tests of the house itself: who imports whom, how long files are, which words stay out, and that what the documents name
//! is there. A rule that a person has to remember is a rule that will be broken.

#[cfg(test)]
mod files;
#[cfg(test)]
mod paths;
#[cfg(test)]
mod rooms;
#[cfg(test)]
mod shipped;
#[cfg(test)]
mod words;
