"""A simulated quarter in fast time: every frequency, outages, changes of declarations; at the end all is accounted for.

python -m dataset_export_tests.soak --days 90 --seed 1
"""
