"""Run MediaPipe's face mesh over a video; print seconds of processor time and the share of frames with a face.

    python benchmarks/mediapipe_mesh.py VIDEO

A program of its own, since MediaPipe wants other versions of this package's dependencies: ``preprocessing.py`` runs it
in an environment that has MediaPipe up to 0.10.21 (later wheels leave the model out). It imports nothing else.
"""

import sys
import time

if __name__ == "__main__" and len(sys.argv) == 2:
    import cv2
    import mediapipe

    cv2.setNumThreads(1)
    mesh = mediapipe.solutions.face_mesh.FaceMesh(max_num_faces=1, refine_landmarks=False)
    video = cv2.VideoCapture(sys.argv[1], cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    n_frames = n_found = 0
    start = 0.0
    while (read := video.read())[0]:
        rgb = cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB)
        n_found += mesh.process(rgb).multi_face_landmarks is not None
        n_frames += 1
        if n_frames == 1:
            start = time.process_time()  # the first frame loads the model
    print((time.process_time() - start) / (n_frames - 1), n_found / n_frames)
