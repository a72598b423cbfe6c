"""From image folders to batches: pack and read RecordIO, decode and crop on threads, augment on the device."""
