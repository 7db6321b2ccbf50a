"""Send rows and curves to other programs.

In: records of executions.
Out: TensorBoard's event files, MLflow's runs.
Next: `tuner`, which drives everything above.
"""
