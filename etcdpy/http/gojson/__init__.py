"""JSON to the byte as Go's encoding/json has it: `writer`, `reader`, and `fields` of structs."""
