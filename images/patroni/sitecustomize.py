"""Runs first in each Python of this image: the Kubernetes API is trusted as before Python 3.13.

Python 3.13 asks a certificate for extensions that the authorities of many clusters leave out, and
urllib3, by which Patroni asks the API, does so too. Patroni has no setting for it. The signature,
the name and the dates of a certificate are checked as ever.
"""

import ssl

vars(ssl)["VERIFY_X509_STRICT"] = ssl.VerifyFlags.VERIFY_DEFAULT
