//! 0MQ for distlog: the only code that names a 0MQ library.
