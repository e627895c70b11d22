// Where does each service live? A witness of endpoints.

import ProxyCore
