"""TLS: what a connection is secured with, and whom it lets in.

`contexts` makes OpenSSL's contexts of an operator's files, again whenever these change;
`certificates` and `ciphers` are its rules on plain values; `self_signed` makes certificates for
`--auto-tls`.  It knows nothing of HTTP or of settings: `startup.securing` brings these together.
"""
