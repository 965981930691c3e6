"""Sample photos for the demonstration: 13 of each of 8 classes of the Grocery Store dataset.

Source: Klasson, Zhang and Kjellström, "A Hierarchical Grocery Store Image Dataset with Visual and Semantic Labels",
WACV 2019; MIT licence, in the file LICENSE beside the photos. Scaled to 160 pixels on the short side.
"""
