"""A member whose data directory was replaced by an older copy: it ends, says why and what to do."""

import shutil
from pathlib import Path

from tests.harness.cluster import Cluster
from tests.harness.process import Kind

OPTIONS = ("--heartbeat-interval", "50", "--election-timeout", "500")
WRITES = 50
WORDS = (
    "is past the log's end",
    "an older copy of it was put back",
    "remove this member from the cluster and add it again with an empty data directory",
)


def test_an_older_copy_is_refused_in_words_and_replaced(tmp_path: Path) -> None:
    with Cluster(Kind.ETCDPY, tmp_path, 3, *OPTIONS) as cluster:
        cluster.start()
        outdated, copy = cluster.followers()[0], tmp_path / "copy"
        outdated.stop()
        shutil.copytree(outdated.data_dir, copy)
        cluster.restart()
        for number in range(WRITES):
            assert outdated.request("PUT", f"/v2/keys/{number}", {"value": "1"}).status == 201
        outdated.stop()
        shutil.rmtree(outdated.data_dir)
        copy.rename(outdated.data_dir)

        outdated.launch()
        assert outdated.wait_exit() == 1
        lines = [line for line in outdated.log_text().splitlines() if WORDS[0] in line]
        assert len(lines) == 1
        assert all(words in lines[0] for words in WORDS)
        assert "Traceback" not in outdated.log_text()

        joined = cluster.replace(outdated)
        for number in range(WRITES):
            assert joined.request("GET", f"/v2/keys/{number}").status == 200
