"""Send rows and curves to other programs.

In: records of executions.
Out: TensorBoard's event files, MLflow's runs.
Next: `progress`, which shows what the driver reports.
"""
