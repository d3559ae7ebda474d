"""The server's HDFS code on a real HDFS."""
