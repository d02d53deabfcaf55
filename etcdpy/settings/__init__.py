"""Settings: what an operator can write, and how it becomes one checked `config.Config`.

`kinds` says what a setting is and how its text is read; `member`, `clustering`, `security` and
`other` list the settings, `ignored` the flags of etcd that do nothing here; `config` puts the lists
together and holds the rules between settings; `sources` reads the command line, the environment
and the YAML file.  `--help`, `config.example.yml` and the table in docs/configuration.md come from
these lists or are tested against them.  Only the top of the house reads a `Config`: the parts get
the values that they need.
"""
