import json
import shutil

WARM_UP = 5  # epochs, in which libraries take what they keep


def test_memory_is_flat_over_20_epochs_of_loading_training_and_evaluating(child, tiny_records, tmp_path):
    for path in tiny_records.iterdir():
        if path.is_file():
            shutil.copy(path, tmp_path)
    done = child("flat_memory.py", tmp_path, WARM_UP + 20)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    assert len(seen) == 25
    assert max(seen[WARM_UP:]) < 1.02 * seen[WARM_UP - 1], [round(megabytes) for megabytes in seen]
