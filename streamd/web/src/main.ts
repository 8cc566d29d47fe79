import { createApp } from 'vue'

import App from './App.vue'
import { reportFailures } from './failures'
import { reloadWhenStale } from './freshness'
import { router } from './router'
import './styles/tokens.css'
import './styles/base.css'

reloadWhenStale(router)
const app = createApp(App)
reportFailures(app)
app.use(router).mount('#app')
