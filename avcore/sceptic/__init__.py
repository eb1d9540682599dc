"""What a sceptic asks of every localiser of the book: claims N1 to N4 and I1b, which are ours.

`localisers`   three networks of three papers behind one interface, trained as in their chapters
`negatives`    N1, N2: silence, noise and hidden sources under one threshold; scores without sound
`elsewhere`    N3: trained on the photographs of Tux Paint, tested on media from elsewhere
`volumes`      I1b: CSOL and IEr on the same scenes of unequal volumes
`words`        N4: words learned from a synthesiser, tested on people
"""
