#!/bin/sh
# Lets a virtual environment import cv2 on a machine without libGL or libglib: scripts/install_opencv.sh .venv
# opencv-python-headless needs neither. Its files overwrite those of opencv-python, which pip keeps listing as
# installed: GluonCV asks for it by that name.
set -eu
python=$(cd "$1" && pwd)/bin/python

if error=$("$python" -c 'import cv2' 2>&1); then exit 0; fi
error=$(echo "$error" | tail -n 1)
case $error in
*"cannot open shared object file"*)
  version=$("$python" -c 'import importlib.metadata as m; print(m.version("opencv-python"))')
  library=${error#*: }
  echo "this machine has no ${library%%:*}: opencv-python-headless $version takes the place of opencv-python"
  "$python" -m pip install --quiet --no-deps --force-reinstall "opencv-python-headless==$version"
  if error=$("$python" -c 'import cv2' 2>&1); then exit 0; fi
  ;;
esac
echo "OpenCV cannot be imported: $(echo "$error" | tail -n 1)"
exit 1
