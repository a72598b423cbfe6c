"""Images with boxes or masks, as Pascal VOC, ADE20K and folders of masks have them."""
