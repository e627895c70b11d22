print("hdproxy")
