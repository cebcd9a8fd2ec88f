//! The room `aws` and the commands over HTTP against moto, a simulation of AWS services that we did not write.

#[cfg(test)]
mod commands;
#[cfg(test)]
mod deploy;
#[cfg(test)]
mod moto;
#[cfg(test)]
mod steering;
#[cfg(test)]
mod survey;
