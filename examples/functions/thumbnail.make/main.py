"""A program of the system, called from Python: the image's longer side becomes `size`."""
import json
import os
import shutil
import subprocess
import sys

with open(os.environ["LONGSHORE_PAYLOAD"]) as f:
    size = json.load(f).get("size", 200)
source = os.environ["LONGSHORE_INPUT"]
target = os.path.join(os.environ["LONGSHORE_OUT"], "thumbnail.jpg")
magick = shutil.which("magick") or shutil.which("convert")

if shutil.which("vipsthumbnail"):
    command = ["vipsthumbnail", source, "--size", f"{size}x{size}>", "-o", target + "[Q=82]"]
elif magick:
    command = [magick, source + "[0]", "-auto-orient", "-thumbnail", f"{size}x{size}>", target]
else:
    sys.exit("neither vipsthumbnail nor ImageMagick is installed")

done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
if done.returncode != 0 or not os.path.exists(target):
    print("not an image that can be read:", " ".join(done.stderr.split())[:300], file=sys.stderr)
    # 65: never again, for the image stays what it is. Killed by a signal: another try.
    sys.exit(65 if done.returncode >= 0 else 1)
print(json.dumps({"bytes": os.path.getsize(target)}))
