import pytest

# Its assertions show what they compared, as those in a test module do.
pytest.register_assert_rewrite("dataset_export_tests.faults.promises")
