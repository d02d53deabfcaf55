"""What a member says of itself at `/metrics`, as numbers."""

from prometheus_client.parser import text_string_to_metric_families

from tests.harness.client import Connection


def metrics(url: str) -> dict[tuple[str, str], float]:
    """Return all samples by name and the value of the last label."""
    with Connection(url) as connection:
        text = connection.request("GET", "/metrics").body.decode()
    return {
        (sample.name, list(sample.labels.values() or [""])[-1]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
