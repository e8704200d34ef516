"""One file, three roles: Streamlit script (also under AppTest), ASGI app (``streamlit run app.py``), launcher."""

import streamlit as st
from streamlit import runtime

if __name__ == "__main__" and runtime.exists():
    from ui.shell import main

    main()
else:
    from ui.server import MIDDLEWARE, ROUTES, lifespan

    app = st.App(__file__, routes=ROUTES, middleware=MIDDLEWARE, lifespan=lifespan)
    if __name__ == "__main__":
        app.run()
