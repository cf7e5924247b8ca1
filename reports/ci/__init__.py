"""What a build server reads: JUnit, SARIF and Markdown."""
