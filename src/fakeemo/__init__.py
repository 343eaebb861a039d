"""Telling genuine from acted emotion in video, after Huynh & Kim, ICCV Workshops 2017.

The modules stand in the order in which the data flows: ``samples``, ``video``, ``faces``, ``mosse``,
``tracking``, ``landmarks``, ``augment``, ``grid_lstm``, ``lstm_pb``, ``training``, ``recognition``,
``boosting``, ``evaluation``, ``report``, ``cli``. Importing the package itself imports none of them.
"""

__version__ = "0.1.0"
