"""Telling genuine from acted emotion in video, after Huynh & Kim, ICCV Workshops 2017.

The modules stand in the order in which the data flows, and each imports only what stands before it: ``errors``,
``progress``, ``tables``, ``samples``, ``video``, ``faces``, ``mosse``, ``tracking``, ``shape_predictor``,
``regression_trees``, ``landmarks``, ``augment``, ``quality``, ``sequences``, ``grid_lstm``, ``lstm_pb``,
``training``, ``recognition``, ``boosting``, ``evaluation``, ``figures``, ``report``, ``cli``. ``demo_dynamics``,
``demo_subjects`` and ``demo`` make videos and stand apart; ``workflow`` and ``jobs`` serve the rules. Importing the
package itself imports none of them.
"""

__version__ = "0.1.0"
