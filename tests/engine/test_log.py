"""The log of cooks."""

import threading

from diffusion_soup.log import CookLog


def test_newest_first_and_searched_by_words(tmp_path):
    log = CookLog(tmp_path / "deep" / "cooks.jsonl")
    for number in range(3):
        log.append({"hash": str(number), "recipe": "ember lagoon" if number else "Meadow"})
    assert [entry["hash"] for entry in log] == ["2", "1", "0"]
    assert [entry["hash"] for entry in log.read("LAGOON ember")] == ["2", "1"]
    assert [entry["hash"] for entry in log.read("meadow")] == ["0"]
    assert log.read("nothing") == [] and len(log.read(limit=1)) == 1


def test_it_stays_bounded(tmp_path):
    log = CookLog(tmp_path / "log", max_bytes=2000)
    for number in range(500):
        log.append({"number": number, "text": "x" * 50})
        assert (tmp_path / "log").stat().st_size <= 2000
    assert log.read()[0]["number"] == 499
    log.append({"text": "x" * 3000})
    assert log.read()[0]["number"] == 499


def test_damage_is_passed_over(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b'{"a": 1}\n[1]\n\xff\xfe\n{"cut of')
    log = CookLog(path)
    log.append({"b": 2})
    assert log.read() == [{"b": 2}, {"a": 1}]


def test_lines_of_many_threads_do_not_mix(tmp_path):
    log, other = CookLog(tmp_path / "log"), CookLog(tmp_path / "log")
    threads = [threading.Thread(target=lambda each=each: [each.append({"x": "y" * 500}) for _ in range(50)])
               for each in (log, other, log, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(log.read(limit=1000)) == 200


def test_what_cannot_be_written_is_no_error(tmp_path):
    (tmp_path / "file").touch()
    log = CookLog(tmp_path / "file" / "log")
    log.append({"a": 1})
    assert log.read() == []
