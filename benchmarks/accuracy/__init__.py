"""How accurate is GTrans, what is each part of it worth, and how do peers do on the same images."""
