"""Kills at random instants while the teacher is asked: nothing that was answered is paid again, nothing is lost."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

from tests.rounds.small import finished_exam
from tests.teacher_server import TeacherServer

KILLS = 50


def test_killed_at_any_instant_a_run_pays_for_each_reply_once_and_learns_the_same(recipe: Path, tmp_path: Path) -> None:
    with TeacherServer(delay=0.02) as server:
        overrides = ["teacher.kind=openai", "teacher.model=m", f"teacher.base_url={server.url}"]
        overrides += ["teacher.concurrency=4", "teacher.api_key_env=NO_SUCH_KEY"]
        longer = ["exam.max_new_tokens=120", "evaluation.max_new_tokens=120"]  # so are the server's replies
        run = finished_exam(recipe, tmp_path, 1, *overrides, *longer)
        run.workspace.release()
        script = Path(__file__).with_name("kill_feedback.py")
        command = [sys.executable, str(script), str(run.workspace.folder), str(tmp_path), str(KILLS), "7"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        stats = server.stats()
    told = json.loads(done.stdout)
    expected = (Path(told[0]["copy"]) / "round-1" / "lesson.jsonl").read_bytes()
    answered = interrupted = 0
    for one in told:
        copy = Path(one["copy"])
        assert (copy / "round-1" / "lesson.jsonl").read_bytes() == expected
        with sqlite3.connect(copy / "teacher.sqlite") as ledger:
            ((calls,),) = ledger.execute("SELECT count(*) FROM calls WHERE failure IS NULL AND ended IS NOT NULL")
            ((distinct,),) = ledger.execute("SELECT count(DISTINCT call) FROM samples")
            ((lost,),) = ledger.execute("SELECT count(*) FROM calls WHERE failure = 'interrupted'")
            assert calls == distinct == len(run.questions["train"])
        answered, interrupted = answered + calls, interrupted + lost
    assert stats["answered_keys"] == stats["billed"] == answered
    assert sum(one["killed"] for one in told) > KILLS / 2
    assert interrupted > 0
